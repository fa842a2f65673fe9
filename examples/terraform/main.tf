locals {
  prefix = "/${var.project}/${var.environment}/ghcr"

  tags = merge(var.tags, {
    Project     = var.project
    Environment = var.environment
    ManagedBy   = "terraform"
  })
}

resource "aws_ssm_parameter" "username" {
  name        = "${local.prefix}/username"
  description = "GitHub account whose token pulls from ghcr.io."
  type        = "String"
  value       = var.username
  tags        = local.tags
}

resource "aws_ssm_parameter" "token" {
  name             = "${local.prefix}/token"
  description      = "GitHub token with read:packages, for the central ghcr-secret."
  type             = "SecureString"
  key_id           = var.kms_key_id
  value_wo         = var.token
  value_wo_version = var.token_version
  tags             = local.tags
}
