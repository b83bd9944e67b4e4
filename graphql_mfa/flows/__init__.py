"""The use cases: one module, one public function, one outcome each. They know neither GraphQL nor HTTP."""
