/**
 * TLS certificates that do not verify, in what grpc-js says of a connection that cannot be made: it keeps the words of the error,
 * which of OpenSSL's are all there is.
 *
 * @internal
 */

/** OpenSSL's words, as `X509_verify_cert_error_string` has them; those before version 3 have no hyphens. */
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

/**
 * The code of the certificate's error, as Node names it.
 *
 * @internal
 */
export const certificateOf = (details: string): string | undefined => {
  const [, named, said = ""] = /Last error: Error(?: \[(\w+)\])?: (.*)/.exec(details) ?? []
  return named?.startsWith("ERR_TLS_CERT_") === true
    ? named
    : words.find(([words]) => said.replace("self-signed", "self signed").startsWith(words))?.[1]
}
