/**
 * Returns the destination of a method, which is its service part: `"Users"` for `"Users.Get"`. Returns `""` for a
 * method without a service part and for a call without a method. Calls of one destination share a budget.
 *
 * @internal
 */
export const destinationOf = (method: string | undefined): string =>
  method === undefined ? "" : method.slice(0, Math.max(0, method.lastIndexOf(".")))
