"""The cart, the checkout and the payment: the one service that calls the others."""
