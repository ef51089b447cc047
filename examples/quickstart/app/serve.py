"""Learns the iris data set that ships with scikit-learn, then answers predictions over HTTP."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

iris = load_iris()
model = LogisticRegression(max_iter=500).fit(iris.data, iris.target)


class Predictions(BaseHTTPRequestHandler):
    """GET / is the health check; POST / takes {"features": [[four numbers], …]}."""

    def do_GET(self) -> None:
        self.answer(200, {"model": "iris", "accuracy": round(float(model.score(iris.data, iris.target)), 3)})

    def do_POST(self) -> None:
        try:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            classes = model.predict(request["features"])
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": str(error)})
        else:
            self.answer(200, {"species": [str(iris.target_names[one]) for one in classes]})

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("listening on port 8000", flush=True)
    ThreadingHTTPServer(("0.0.0.0", 8000), Predictions).serve_forever()
