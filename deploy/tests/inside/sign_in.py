"""Signs anna in by the form, as a browser does: sign_in.py URL AUTHORITY. Fails unless the dashboard appears."""

import http.cookiejar
import re
import ssl
import sys
import urllib.parse
import urllib.request

URL, AUTHORITY = sys.argv[1:]
jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=AUTHORITY)),
    urllib.request.HTTPCookieProcessor(jar),
)
page = browser.open(f"{URL}/accounts/login/", timeout=60).read().decode()
token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
form = {"username": "anna", "password": "a long passphrase", "csrfmiddlewaretoken": token}
headers = {"Referer": f"{URL}/accounts/login/", "Origin": URL}
request = urllib.request.Request(f"{URL}/accounts/login/", urllib.parse.urlencode(form).encode(), headers)
answer = browser.open(request, timeout=60)
assert answer.url == f"{URL}/", answer.url
assert all(cookie.secure for cookie in jar), list(jar)
