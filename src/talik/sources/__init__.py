"""One reader for each product: units, sign and species are settled here."""
