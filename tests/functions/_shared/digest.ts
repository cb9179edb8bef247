/** SHA-256, in hex. */

/** The digest of bytes or of a text in UTF-8. */
export async function sha256(data: Uint8Array<ArrayBuffer> | string): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Who calls: a short digest of both credentials, because a publishable key comes in `apikey` alone. */
export async function callerOf(request: Request): Promise<string> {
  const { headers } = request;
  return (await sha256(`${headers.get("authorization") ?? ""}\n${headers.get("apikey") ?? ""}`)).slice(0, 16);
}
