"""The products service: Stripe's catalogue plus the SKUs and the stock that the seed's API promises."""
