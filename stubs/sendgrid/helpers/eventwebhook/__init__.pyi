from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

class EventWebhook:
    public_key: EllipticCurvePublicKey | None
    def __init__(self, public_key: str | None = None) -> None: ...
    def verify_signature(
        self, payload: str, signature: str, timestamp: str, public_key: EllipticCurvePublicKey | None = None
    ) -> bool: ...
