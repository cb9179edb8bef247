/** Settings of the application: the same for everybody, seldom changed. */
import { type Call, json } from "../_shared/function.ts";
import { forcedStatus, work } from "../_shared/test-controls.ts";

export default async function appConfig(request: Request, { invocation }: Call): Promise<Response> {
  await work(request);
  const settings = [
    { key: "search_radius_km", value: 10 },
    { key: "languages", value: ["en", "fr", "rw"] },
    { key: "payments_enabled", value: true },
  ];
  return json({ settings, invocation }, forcedStatus(request) ?? 200);
}
