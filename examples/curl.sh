#!/usr/bin/env bash
# Every route of a running odeserve, asked with curl.
# Run: bash examples/curl.sh [http://127.0.0.1:8000]
# Answers are cut to a line each. Where the server has keys: export ODECLIENT_API_KEY=...
set -euo pipefail
cd "$(dirname "$0")"
URL=${1:-http://127.0.0.1:8000}
AUTH=(${ODECLIENT_API_KEY:+-H "X-API-Key: $ODECLIENT_API_KEY"})

# ask WORDS CURL-ARGUMENTS...: says what is asked, and the beginning of the answer; -f makes errors end the script.
ask() {
  local words=$1 answer
  shift
  answer=$(curl -fsS "${AUTH[@]}" "$@")
  printf '\n# %s\n%s\n' "$words" "$(printf '%s' "$answer" | tr '\n' ' ' | cut -c 1-200)"
}

JSON='Content-Type: application/json'

ask "the server lives, and is ready" "$URL/health/live" "$URL/health/ready"
ask "its models" "$URL/models"
ask "what a model says of itself" "$URL/models/odenet-mnist"
ask "what each tolerance costs and how wrong it is" "$URL/models/odenet-mnist/tradeoff"

ask "a drawn seven, loosely" "$URL/classify?tol=1e-1" -H "$JSON" -d @digits/7.json
ask "and tightly, by a method of one's own choice" "$URL/classify?tol=1e-5&method=tsit5" -H "$JSON" -d @digits/7.json
ask "the tolerance left to the server" "$URL/classify?tol=auto" -H "$JSON" -d @digits/7.json
ask "within 500 ms, less exactly if need be" "$URL/classify?tol=1e-5&max_tol=1e-1&deadline_ms=500" -H "$JSON" -d @digits/7.json
ask "a picture" "$URL/classify" -H 'Content-Type: image/png' --data-binary @pictures/7.png
ask "two pictures of a form" "$URL/classify" -F file=@pictures/7.png -F file=@pictures/4.jpg

ask "log-densities, in nats" "$URL/density?model=cnf-two-moons&tol=1e-4" -H "$JSON" -d '{"points": [[0.5, 1.0], [0.0, 0.0]]}'
ask "as lines, each when it has ended" "$URL/density?model=cnf-two-moons" -H "$JSON" -H 'Accept: application/x-ndjson' -d '{"points": [[0.5, 1.0], [0.0, 0.0]]}'
ask "three samples" "$URL/sample?model=cnf-two-moons&tol=1e-3" -H "$JSON" -d '{"n": 3, "seed": 7}'
ask "every step of a solve" "$URL/trajectory?model=cnf-two-moons&tol=1e-3" -H "$JSON" -d '{"point": [0.5, 1.0]}'

# /predict is for models of your own, which are not among the shipped ones; this is how it is told.
printf '\n# a model of your own, which this server may not have\n'
curl -sS "${AUTH[@]}" "$URL/predict" -H "$JSON" -d '{"inputs": [[1.0, 0.0]], "t": [0.5, 1.0]}' | cut -c 1-200

printf '\n# what an answer cost stands in its headers, too\n'
curl -fsS "${AUTH[@]}" -D - -o /dev/null "$URL/classify?tol=1e-3" -H "$JSON" -d @digits/7.json | grep -iE '^(x-|server-timing)'

printf '\n# an error says which field, and what was expected\n'
curl -sS "${AUTH[@]}" "$URL/classify?tol=10" -H "$JSON" -d @digits/7.json
printf '\n'

ask "the Open Inference Protocol: the server" "$URL/v2"
ask "... does it live, and is it ready: the status says so" -o /dev/null -o /dev/null -w '%{http_code} ' "$URL/v2/health/live" "$URL/v2/health/ready"
ask "... a model, or a version of it" "$URL/v2/models/cnf-two-moons" "$URL/v2/models/cnf-two-moons/versions/1"
ask "... is the model ready" -o /dev/null -w '%{http_code}' "$URL/v2/models/cnf-two-moons/ready"
ask "... its configuration" "$URL/v2/models/cnf-two-moons/config"
ask "... an inference" "$URL/v2/models/cnf-two-moons/infer" -H "$JSON" \
  -d '{"inputs": [{"name": "point", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.0]}], "parameters": {"tol": 1e-4}}'

ask "for Prometheus" "$URL/metrics"
ask "the API, described" "$URL/openapi.json"
ask "the same as a page" "$URL/docs"
