/**
 * Removes secrets from texts before they reach a message, a log line, a span or an encoded error.
 *
 * It works on text, so that the same rules apply to a message, to a stack, and to an object as a terminal shows it.
 *
 * @internal
 */

const mark = "<redacted>"

/** Names of headers and fields whose values are secrets. */
const secret =
  "(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|api[-_]?key|x-auth-token|(?:access|refresh|id|auth|session|csrf|xsrf)[-_]?token|" +
  "x-(?:amz-security|goog-iam-authorization|csrf|xsrf)-token|(?:client[-_]?)?secret|password|passwd|passphrase|private[-_]?key"

/** A value: a list or a quoted text. Its quotes may be escaped, as in JSON within JSON. */
const value =
  "\\\\+[\"'][^\"'\\\\]*|\\[[^\\]]*\\]?|\"(?:[^\"\\\\]|\\\\.)*\"?|'(?:[^'\\\\]|\\\\.)*'?|`(?:[^`\\\\]|\\\\.)*`?"

type Rules = ReadonlyArray<readonly [RegExp, string]>

/** Secrets in any text: the user info and query values of a URL (query names are kept), and tokens. */
const inText: Rules = [
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"'`<>@]*@/gi, `$1${mark}@`],
  [/([?&][\w.~%[\]-]{1,100}=)[^\s&#"'`<>)\]},;]+/g, `$1${mark}`],
  [/\b(Bearer|Basic)[ ]+[\w.~+/=-]{8,}/g, `$1 ${mark}`]
]

/** Secrets that are recognised by a name next to them, in texts that list names and values. */
const inDump: Rules = [
  ...inText,
  // Authorization: Basic abc, to the end of the line
  [new RegExp(`^([ \\t]*(?:${secret})[ \\t]*:[ \\t]*)(?!["'\`\\[])[^\\n]+$`, "gim"), `$1${mark}`],
  // { authorization: 'Basic abc' }, Map { 'authorization' => 'x' }, [ 'Authorization', 'x' ], "password":"x"
  [
    new RegExp(
      `((\\\\{0,4}["'\`]?)\\b(?:${secret})\\2\\s*(?::|=>|=|,(?=\\s*["'\`]))\\s*)(?:${value}|[^\\s,;}\\])]+)`,
      "gi"
    ),
    `$1${mark}`
  ]
]

/** The most characters that are searched; the rest of a longer text is dropped. */
const maxText = 65_536

const apply = (rules: Rules) => (text: string): string =>
  rules.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), text.slice(0, maxText))

/**
 * Removes the user info and query values of URLs, and tokens after `Bearer` and `Basic`, from a sentence. Text after a
 * word like "password" is kept, because the message of a server may say "password: too short".
 *
 * @internal
 */
export const redactText: (text: string) => string = apply(inText)

/**
 * Removes the values of headers and fields that carry credentials, and what {@link redactText} removes, from a printed
 * or encoded value.
 *
 * @internal
 */
export const redactDump: (text: string) => string = apply(inDump)
