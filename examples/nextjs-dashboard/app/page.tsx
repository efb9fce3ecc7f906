import { Dashboard } from "@/components/dashboard";
import { firstState } from "@/lib/first-state";
import { browserSettings } from "@/lib/settings";

/** The state is of the moment, and the settings are read when the server runs. */
export const dynamic = "force-dynamic";

export default async function Page() {
  const settings = browserSettings();
  return <Dashboard settings={settings} initial={await firstState(settings.pipelines)} />;
}
