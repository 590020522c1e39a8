"""From records of the shop to changes that are read, cleaned and validated: for every layer."""
