/** The name of a contract, as the server has it: 1 to 63 characters. */
export const CONTRACT_NAME = /^[a-z][a-z0-9-]{0,62}$/;
