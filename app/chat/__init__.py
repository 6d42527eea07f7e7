"""The Ground page's question and answer for programs: OpenAI's chat routes, and a tool of the Model Context
Protocol."""
