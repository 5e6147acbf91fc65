/**
 * What a method belongs to that is overloaded as a whole: the service. `""` where the method names none.
 *
 * @internal
 */
export const destinationOf = (method: string | undefined): string =>
  method === undefined ? "" : method.slice(0, Math.max(0, method.lastIndexOf(".")))
