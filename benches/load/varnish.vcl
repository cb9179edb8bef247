# Varnish as a peer of the sidecar: the same route, kept as long, whoever asks.
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "@ORIGIN@"; }
sub vcl_recv { return (hash); }
sub vcl_backend_response { set beresp.ttl = 5m; return (deliver); }
