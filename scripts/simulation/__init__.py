"""The whole system in one process, in virtual time and from one seed: real ledgers, real protocol, real head office."""
