"""What the tests of ops/ share: programs, live hubs, traffic, and how Grafana reads a dashboard."""
