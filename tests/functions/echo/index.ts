/** Answers what it was asked, in JSON: what a proxy did to a request can be read from it. */
import { type Call, json } from "../_shared/function.ts";
import { sha256 } from "../_shared/digest.ts";
import { work } from "../_shared/test-controls.ts";

export default async function echo(request: Request, { path, invocation }: Call): Promise<Response> {
  const bytes = await request.bytes();
  await work(request);
  const url = new URL(request.url);
  return json({
    method: request.method,
    path,
    receivedPath: url.pathname,
    query: url.search,
    headers: Object.fromEntries(request.headers),
    body: { sha256: await sha256(bytes), length: bytes.length },
    invocation,
  });
}
