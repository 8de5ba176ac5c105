"""What every gRPC server shares."""
