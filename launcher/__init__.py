"""Commands for the shop: its broker, its processes, its tests. Tests and benches use `launcher.shop.Shop`."""
