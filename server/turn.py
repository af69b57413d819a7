"""The ICE servers a peer is told of, with TURN credentials that expire.

Credentials follow the TURN REST convention (draft-uberti-behave-turn-rest): the user name is the Unix time of
expiry, the password the base64 HMAC-SHA1 of it under the secret shared with the TURN server.
"""

import base64
import hashlib
import hmac
import time
from typing import Any

from server.config import IceSettings


def ice_servers(settings: IceSettings, now_unix_s: float | None = None) -> list[dict[str, Any]]:
    """As ``RTCConfiguration.iceServers`` wants them."""
    servers: list[dict[str, Any]] = []
    if settings.stun_urls:
        servers.append({"urls": list(settings.stun_urls)})
    if settings.turn_urls:
        server: dict[str, Any] = {"urls": list(settings.turn_urls)}
        if settings.turn_secret:
            now_s = time.time() if now_unix_s is None else now_unix_s
            user = f"{int(now_s) + settings.turn_credential_s}:visavis"
            digest = hmac.new(settings.turn_secret.encode(), user.encode(), hashlib.sha1).digest()
            server |= {"username": user, "credential": base64.b64encode(digest).decode()}
        servers.append(server)
    return servers
