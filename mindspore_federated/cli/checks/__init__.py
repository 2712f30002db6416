"""What `msfl doctor` looks at: one function for each question, answering findings."""
