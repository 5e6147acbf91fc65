/**
 * The error codes of HTTP/2 (RFC 9113, section 7). The index in the list is the code.
 *
 * @internal
 */
export const http2Codes = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED"
] as const

/** Codes that say that the peers do not agree on the protocol. Another attempt would fail in the same way. @internal */
export const disagreement: ReadonlySet<string> = new Set([
  "PROTOCOL_ERROR",
  "FLOW_CONTROL_ERROR",
  "FRAME_SIZE_ERROR",
  "COMPRESSION_ERROR",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED"
])
