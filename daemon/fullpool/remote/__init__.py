"""The copy of a lake in object storage: its files, Iceberg tables over them, the catalogue."""
