terraform {
  # 1.11 knows write-only arguments: the token is sent to AWS and kept in no plan and no state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.8"
    }
  }
}
