using System;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Identity.Client;

namespace Tokencache.Msal;

/// <summary>Takes what is meant for an identity provider to the made-up one on loopback, and says there who was meant.</summary>
internal sealed class Clients(int port) : IMsalHttpClientFactory, IDisposable
{
    private readonly HttpClient _client = new(new Loopback(port));

    public HttpClient GetHttpClient() => _client;

    public void Dispose() => _client.Dispose();

    private sealed class Loopback(int port) : DelegatingHandler(new HttpClientHandler())
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Add("X-Forwarded-Host", request.RequestUri!.Host);
            request.RequestUri = new Uri($"http://127.0.0.1:{port}{request.RequestUri.PathAndQuery}");
            return base.SendAsync(request, cancellationToken);
        }
    }
}
