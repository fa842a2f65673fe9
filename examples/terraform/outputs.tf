# Names only. A value that is an output is in the state and in every log that prints it.
output "username_key" {
  description = "Name of the user name's parameter: centralSecret.externalSecret.usernameKey of the chart."
  value       = aws_ssm_parameter.username.name
}

output "token_key" {
  description = "Name of the token's parameter: centralSecret.externalSecret.tokenKey of the chart."
  value       = aws_ssm_parameter.token.name
}
