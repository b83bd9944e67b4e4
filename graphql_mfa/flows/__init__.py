"""The use cases, by subject: each mutation is one public function here. They know neither GraphQL nor HTTP."""
