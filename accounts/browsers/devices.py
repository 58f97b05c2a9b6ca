"""What a person may recognize a browser by. Anybody may send any words, so it is only a hint."""

import re

from accounts.browsers.models import DEVICE_LENGTH

# The first that is in the text: most name others as well, to be taken for them.
BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "YaBrowser": "Yandex",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "CriOS": "Chrome",
    "Chrome": "Chrome",
    "Safari": "Safari",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def device_of(user_agent: str) -> str:
    """Such as "Firefox, Windows"; of a program that is no browser, its own name."""
    user_agent = user_agent[:1000]
    browser = next((name for sign, name in BROWSERS.items() if f"{sign}/" in user_agent), None)
    if browser is None:
        product = re.match(r"[A-Za-z][\w.+-]*", user_agent, re.ASCII)
        browser = product[0] if product and product[0] != "Mozilla" else ""
    system = next((name for sign, name in SYSTEMS.items() if sign in user_agent), "")
    return ", ".join(filter(None, (browser, system)))[:DEVICE_LENGTH]
