"""http.request: one HTTP request as a job, through the sender that webhooks go through, within the same bounds."""
