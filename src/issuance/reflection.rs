//! Each question of reflection is answered; one about what there is not gets an error as its answer, and the
//! stream goes on.

/// A service of reflection that asks another one, in the process, one question at a time: that one would end
/// the whole stream with the first question that has no answer.
macro_rules! answers_each {
    ($version:ident) => {
        pub(super) mod $version {
            use futures_util::{StreamExt as _, stream::BoxStream};
            use tonic::{Code, Request, Response, Status, Streaming};
            use tonic_reflection::pb::$version::{
                ErrorResponse, ServerReflectionRequest, ServerReflectionResponse,
                server_reflection_client::ServerReflectionClient,
                server_reflection_response::MessageResponse,
                server_reflection_server::{ServerReflection, ServerReflectionServer},
            };

            /// Answers what `known` answers, and says of everything else why not.
            pub(crate) fn answering(
                known: ServerReflectionServer<impl ServerReflection>,
            ) -> ServerReflectionServer<impl ServerReflection> {
                ServerReflectionServer::new(Each { known })
            }

            struct Each<S> {
                known: ServerReflectionServer<S>,
            }

            #[tonic::async_trait]
            impl<S: ServerReflection> ServerReflection for Each<S> {
                type ServerReflectionInfoStream =
                    BoxStream<'static, Result<ServerReflectionResponse, Status>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let known = self.known.clone();
                    let answers = request.into_inner().then(move |asked| {
                        let known = known.clone();
                        async move { Ok(answer(known, asked?).await) }
                    });
                    Ok(Response::new(answers.boxed()))
                }
            }

            async fn answer<S: ServerReflection>(
                known: ServerReflectionServer<S>,
                asked: ServerReflectionRequest,
            ) -> ServerReflectionResponse {
                let one = tokio_stream::iter([asked.clone()]);
                let said = match ServerReflectionClient::new(known).server_reflection_info(one).await {
                    Ok(answers) => answers.into_inner().message().await,
                    Err(status) => Err(status),
                };
                let (code, words) = match said {
                    Ok(Some(answer)) => return answer,
                    Ok(None) => (Code::Internal, "there is no answer to that"),
                    Err(ref status) => (status.code(), status.message()),
                };
                let error = ErrorResponse { error_code: code as i32, error_message: words.to_owned() };
                ServerReflectionResponse {
                    valid_host: asked.host.clone(),
                    original_request: Some(asked),
                    message_response: Some(MessageResponse::ErrorResponse(error)),
                }
            }
        }
    };
}

answers_each!(v1);
answers_each!(v1alpha);
