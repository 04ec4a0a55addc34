"""The shipping service: parcels, carriers' rates, labels and tracking, bought through Shippo."""
