using System;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Identity.Client;

namespace Tokencache.Adapter;

/// <summary>An identity provider inside this process: every request gets another token, and nobody is contacted.</summary>
internal sealed class Provider : HttpMessageHandler, IMsalHttpClientFactory
{
    public const string ClientId = "c0ffee00-0000-4000-8000-0000000000c1";
    public const string TenantId = "7e000000-0000-4000-8000-000000000001";

    private readonly HttpClient _client;
    private readonly string _run = Guid.NewGuid().ToString("N");
    private int _issued;

    public Provider() => _client = new HttpClient(this, disposeHandler: false);

    public HttpClient GetHttpClient() => _client;

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        int number = Interlocked.Increment(ref _issued);
        string token = $"made-up-{_run}-{number:D6}-{new string('x', 1200)}";
        string body = $$"""{"token_type":"Bearer","expires_in":3599,"access_token":"{{token}}"}""";
        return Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK)
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        });
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _client.Dispose();
        }
        base.Dispose(disposing);
    }
}
