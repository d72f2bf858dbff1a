import ArgumentParser
import CgroupSandbox
import Hummingbird
import ServiceLifecycle

@main
struct Snippets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs program texts that are posted to /run, each in a job with limits.")

    @Option(help: "Address to listen at.") var host = "127.0.0.1"
    @Option(help: "Port to listen at.") var port = 8080
    @Option(help: "Snippets that run at once.") var jobs = 4
    @Option(help: "Snippets that wait for that; more get 503.") var waiting = 64

    func run() async throws {
        // Better no service than one without limits: this fails where they cannot be enforced.
        _ = try await Snippet(Parameters()).run(Array("pass".utf8))

        let admission = Admission(running: jobs, waiting: waiting)
        let router = Router()
        router.post("run") { request, _ in
            let snippet = try Snippet(request.uri.queryParameters)
            // A client that hangs up cancels this task, which stops the job.
            return try await request.body.consumeWithCancellationOnInboundClose { body in
                let text = try await Array(body.collect(upTo: Snippet.mostBytes).readableBytesView)
                // So does the end of the server.
                return try await cancelWhenGracefulShutdown {
                    try await answer(snippet, text, admission)
                }
            }
        }
        let application = Application(
            router: router, configuration: .init(address: .hostname(host, port: port)))
        try await application.runService()
    }
}

private func answer(_ snippet: Snippet, _ text: [UInt8], _ admission: Admission) async throws -> Answer {
    do {
        return try await admission.whenAdmitted { try await snippet.run(text) }
    } catch is Admission.Full {
        throw HTTPError(.serviceUnavailable, headers: [.retryAfter: "1"], message: "too many snippets at once")
    } catch let error as LaunchError where error.kind != .cancelled {
        throw HTTPError(.internalServerError, message: error.message)
    } catch {
        throw HTTPError(.serviceUnavailable, message: "the server ends")
    }
}
