// `GET /api/socket/info`: how browsers shall follow the hub. Where they cannot reach it by socket they are told to
// poll, and need not find out; otherwise they get the hub's own advice, its rollout percentage included.
import { forward } from "@/lib/forward";
import { browserSettings } from "@/lib/settings";

export const dynamic = "force-dynamic";

export async function GET(request: Request): Promise<Response> {
  const answer = await forward(request, "/api/socket/info");
  if (!answer.ok || browserSettings().hub !== null) return answer;
  const advice = (await answer.json()) as Record<string, unknown>;
  return Response.json({ ...advice, available: false, url: undefined, transports: [], transport: "polling" });
}
