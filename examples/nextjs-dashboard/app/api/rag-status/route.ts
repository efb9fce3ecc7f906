// `GET /api/rag-status[?pipeline_id=]`: what pages polled before there were sockets, and still may.
import { forward } from "@/lib/forward";

export const dynamic = "force-dynamic";

export function GET(request: Request): Promise<Response> {
  return forward(request, "/api/rag-status");
}
