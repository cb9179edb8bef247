/** The state of a function; it also answers `/NAME/health` for all others. */
import { type Call, json } from "../_shared/function.ts";
import { forcedStatus, work } from "../_shared/test-controls.ts";

export default async function health(request: Request, { name, invocation }: Call): Promise<Response> {
  await work(request);
  const status = forcedStatus(request) ?? 200;
  return json({ status: status < 500 ? "healthy" : "unhealthy", service: name, invocation }, status);
}
