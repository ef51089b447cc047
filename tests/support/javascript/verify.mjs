// Verifies bundles with sigstore-js and no transparency log.
// stdin: {"keys": [PEM, ...], "bundles": [text of a bundle, ...]}; stdout: [{"accepted": bool, "said": text}, ...]

import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";

const NO_AUTHORITIES = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const NO_LOGS = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };

// Sigstore-js finds a key by the hint alone; a key's hint is made of the key itself here, never taken from the bundle.
function byHint(pems) {
  const ders = pems.map((pem) => createPublicKey(pem).export({ type: "spki", format: "der" }));
  return Object.fromEntries(ders.map((der) => [createHash("sha256").update(der).digest("base64"), { rawBytes: der }]));
}

function verify(keys, text) {
  try {
    const trusted = toTrustMaterial(NO_AUTHORITIES, byHint(keys));
    new Verifier(trusted, NO_LOGS).verify(toSignedEntity(bundleFromJSON(JSON.parse(text))));
    return { accepted: true, said: "" };
  } catch (error) {
    return { accepted: false, said: `${error.name} ${error.code ?? ""}: ${error.message}` };
  }
}

const { keys, bundles } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(bundles.map((text) => verify(keys, text))));
