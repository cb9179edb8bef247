/** Where a caller stands in a conversation: short-lived, and his alone. */
import { type Call, json } from "../_shared/function.ts";
import { callerOf } from "../_shared/digest.ts";
import { forcedStatus, work } from "../_shared/test-controls.ts";

export default async function userState(request: Request, { query, invocation }: Call): Promise<Response> {
  await work(request);
  const body = {
    caller: await callerOf(request),
    key: query.get("key") ?? "home",
    data: {},
    invocation,
    at: Date.now(),
  };
  return json(body, forcedStatus(request) ?? 200);
}
