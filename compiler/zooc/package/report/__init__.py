"""The report of a package: its data, its charts, and the page or model card that is made of them."""
