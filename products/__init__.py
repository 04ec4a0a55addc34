"""The products service: Stripe's catalogue, with the SKUs and the stock that the seed's API promises."""
