/**
 * Recognizes TLS certificates that do not verify. grpc-js keeps only the message of OpenSSL.
 *
 * @internal
 */

/** The messages of OpenSSL's `X509_verify_cert_error_string`; versions before 3 write them without hyphens. */
const words: ReadonlyArray<readonly [words: string, code: string]> = [
  ["certificate has expired", "CERT_HAS_EXPIRED"],
  ["certificate is not yet valid", "CERT_NOT_YET_VALID"],
  ["certificate revoked", "CERT_REVOKED"],
  ["certificate not trusted", "CERT_UNTRUSTED"],
  ["certificate rejected", "CERT_REJECTED"],
  ["certificate chain too long", "CERT_CHAIN_TOO_LONG"],
  ["certificate signature failure", "CERT_SIGNATURE_FAILURE"],
  ["self signed certificate in certificate chain", "SELF_SIGNED_CERT_IN_CHAIN"],
  ["self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"],
  ["invalid CA certificate", "INVALID_CA"],
  ["unable to get issuer certificate", "UNABLE_TO_GET_ISSUER_CERT"],
  ["unable to get local issuer certificate", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
  ["unable to verify the first certificate", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ["unsuitable certificate purpose", "INVALID_PURPOSE"]
]

/** Returns the code of a certificate error, as Node names it. @internal */
export const certificateOf = (details: string): string | undefined => {
  const [, named, said = ""] = /Last error: Error(?: \[(\w+)\])?: (.*)/.exec(details) ?? []
  return named?.startsWith("ERR_TLS_CERT_") === true
    ? named
    : words.find(([words]) => said.replace("self-signed", "self signed").startsWith(words))?.[1]
}
