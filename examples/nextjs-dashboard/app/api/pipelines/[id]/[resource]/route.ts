// `GET /api/pipelines/ID/events|files|history`: what a polling client and the lists beyond the snapshot need. Long
// polls are held as long as the hub holds them. Reporting (POST) and forgetting (DELETE) a pipeline are not for browsers.
import { forward } from "@/lib/forward";
import { problem } from "@/lib/problem";

export const dynamic = "force-dynamic";

const RESOURCES: ReadonlySet<string> = new Set(["events", "files", "history"]);
const PIPELINE_ID = /^[A-Za-z0-9._-]{1,128}$/;

interface Context {
  readonly params: Promise<{ readonly id: string; readonly resource: string }>;
}

export async function GET(request: Request, { params }: Context): Promise<Response> {
  const { id, resource } = await params;
  // Two dots would be a way out of the path.
  if (!RESOURCES.has(resource) || !PIPELINE_ID.test(id) || /^\.+$/.test(id)) {
    return problem(404, "not_found", "Not found", "Of a pipeline there are events, files and history, by its id.");
  }
  return forward(request, `/api/pipelines/${id}/${resource}`);
}
