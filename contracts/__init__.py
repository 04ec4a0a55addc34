"""Definitions that both ends of a wire must share: errors, currencies, contacts, texts, differences."""
