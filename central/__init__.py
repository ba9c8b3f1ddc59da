"""`invcentral`: head office, one database of all stores."""
