/**
 * Takes secrets out of texts before they reach a message, a log line, a span or an encoded error.
 *
 * It works on text, so that one rule holds for a message, for a stack, and for an object as a terminal shows it.
 *
 * @internal
 */

const mark = "<redacted>"

/** Names of headers and fields whose values are secrets. */
const secret =
  "(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|api[-_]?key|x-auth-token|(?:access|refresh|id|auth|session|csrf|xsrf)[-_]?token|" +
  "x-(?:amz-security|goog-iam-authorization|csrf|xsrf)-token|(?:client[-_]?)?secret|password|passwd|passphrase|private[-_]?key"

/** A list, a quoted text whose quotes may be escaped because it is JSON within JSON. */
const value =
  "\\\\+[\"'][^\"'\\\\]*|\\[[^\\]]*\\]?|\"(?:[^\"\\\\]|\\\\.)*\"?|'(?:[^'\\\\]|\\\\.)*'?|`(?:[^`\\\\]|\\\\.)*`?"

type Rules = ReadonlyArray<readonly [RegExp, string]>

/** What is a secret in any text: the user info of a URL, the values of its query (names stay: they say which request it was), a token. */
const inText: Rules = [
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"'`<>@]*@/gi, `$1${mark}@`],
  [/([?&][\w.~%[\]-]{1,100}=)[^\s&#"'`<>)\]},;]+/g, `$1${mark}`],
  [/\b(Bearer|Basic)[ ]+[\w.~+/=-]{8,}/g, `$1 ${mark}`]
]

/** What is one beside its name, where names and values are listed. */
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

/** No more than so many characters are looked at; what comes after them is cut. */
const maxText = 65_536

const apply = (rules: Rules) => (text: string): string =>
  rules.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), text.slice(0, maxText))

/**
 * A sentence without the user info and query values of URLs and without bearer tokens. What stands beside a word like
 * "password" stays: an error of a server may well say "password: too short".
 *
 * @internal
 */
export const redactText: (text: string) => string = apply(inText)

/**
 * A value as it is printed or encoded, without the values of headers and fields that carry credentials, and without what
 * {@link redactText} takes out.
 *
 * @internal
 */
export const redactDump: (text: string) => string = apply(inDump)
