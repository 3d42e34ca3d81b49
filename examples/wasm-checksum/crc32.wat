;; CRC-32 as in zip and PNG: reflected polynomial 0xEDB88320, one bit at a time.
(module
  (memory (export "memory") 1 1)                      ;; one page, 64 KiB, and no more
  (func (export "crc32") (param $at i32) (param $length i32) (param $crc i32) (result i32)
    (local $end i32) (local $bit i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (local.set $crc (i32.xor (local.get $crc) (i32.const -1)))
    (block $done
      (loop $bytes
        (br_if $done (i32.eqz (i32.lt_u (local.get $at) (local.get $end))))
        (local.set $crc (i32.xor (local.get $crc) (i32.load8_u (local.get $at))))
        (local.set $bit (i32.const 8))
        (loop $bits
          (local.set $crc
            (i32.xor
              (i32.shr_u (local.get $crc) (i32.const 1))
              (i32.and
                (i32.sub (i32.const 0) (i32.and (local.get $crc) (i32.const 1)))
                (i32.const 0xEDB88320))))
          (local.set $bit (i32.sub (local.get $bit) (i32.const 1)))
          (br_if $bits (local.get $bit)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $bytes)))
    (i32.xor (local.get $crc) (i32.const -1))))
