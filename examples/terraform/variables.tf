variable "environment" {
  description = "Environment, the second part of the parameters' names."
  type        = string
  default     = "dev"
}

variable "project" {
  description = "Project, the first part of the parameters' names."
  type        = string
  default     = "sesacthon"
}

variable "username" {
  description = "Name of the GitHub account the token belongs to."
  type        = string

  validation {
    condition     = length(trimspace(var.username)) > 0
    error_message = "The user name is empty."
  }
}

variable "token" {
  description = "Token with the scope read:packages. Give it as TF_VAR_token, never in a file of this folder."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = length(trimspace(var.token)) > 0
    error_message = "The token is empty."
  }
}

variable "token_version" {
  description = "Raise it by one with each new token: Terraform does not keep the old one to compare with."
  type        = number
}

variable "kms_key_id" {
  description = "KMS key of the SecureString. Without it: the account's alias/aws/ssm."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of both parameters."
  type        = map(string)
  default     = {}
}
