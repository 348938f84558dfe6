using System;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Identity.Client;

namespace Tokencache.Testing;

/// <summary>Takes what is meant for an identity provider to the made-up one, and says there who was meant.</summary>
internal sealed class LoopbackClients(Uri provider) : IMsalHttpClientFactory, IDisposable
{
    private readonly HttpClient _client = new(new Loopback(provider));

    public HttpClient GetHttpClient() => _client;

    public void Dispose() => _client.Dispose();

    private sealed class Loopback(Uri provider) : DelegatingHandler(new HttpClientHandler())
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Add("X-Forwarded-Host", request.RequestUri!.Host);
            request.RequestUri = new Uri(provider, request.RequestUri.PathAndQuery);
            return base.SendAsync(request, cancellationToken);
        }
    }
}
