"""Asks the service for one prediction: python predict.py 5.1 3.5 1.4 0.2."""

import json
import sys
import urllib.request

features = [[float(one) for one in sys.argv[1:5]]]
request = urllib.request.Request(
    "http://127.0.0.1:8000/",
    data=json.dumps({"features": features}).encode(),
    headers={"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=5) as response:
    print(json.load(response)["species"][0])
